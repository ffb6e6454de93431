"""An agent with a tool of its own: the weather of a few cities, made up, without network.

The model is Gemini's and needs a key, see .env.example; the tool runs here.
"""

from google.adk.agents import Agent

# What a weather service would answer: sky, temperature in degrees Celsius.
_WEATHER = {
    "berlin": ("cloudy", 11),
    "cairo": ("sunny", 29),
    "london": ("rainy", 13),
    "new york": ("sunny", 18),
    "reykjavik": ("snowy", -2),
    "tokyo": ("clear", 21),
}


def get_weather(city: str) -> dict[str, str | int | list[str]]:
    """Tells the weather in a city now.

    Args:
        city: the English name of the city.

    Returns:
        The sky and the temperature in degrees Celsius, or an error with the known cities.
    """
    known = _WEATHER.get(city.strip().lower())
    if known is None:
        return {"error": f"No weather is known for {city}.", "known_cities": sorted(_WEATHER)}
    sky, celsius = known
    return {"city": city, "sky": sky, "temperature_celsius": celsius}


root_agent = Agent(
    name="weather_agent",
    model="gemini-3.1-flash-live-preview",
    description="Agent to tell the weather.",
    instruction=(
        "You tell the weather. Use the tool for it, never guess, and answer in one short"
        " sentence that is good to listen to."
    ),
    tools=[get_weather],
)

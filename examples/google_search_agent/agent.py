"""ADK's streaming sample: answers questions with Google Search. Needs a key, see .env.example."""

from google.adk.agents import Agent
from google.adk.tools.google_search_tool import google_search

root_agent = Agent(
    # A unique name for the agent.
    name="google_search_agent",
    # A model of the Live API; these change often: https://ai.google.dev/gemini-api/docs/models
    # On Vertex AI: "gemini-live-2.5-flash-native-audio".
    model="gemini-3.1-flash-live-preview",
    # A short description of the agent's purpose.
    description="Agent to answer questions using Google Search.",
    # Instructions to set the agent's behavior.
    instruction="Answer the question using the Google Search tool.",
    # Grounding with Google Search.
    tools=[google_search],
)

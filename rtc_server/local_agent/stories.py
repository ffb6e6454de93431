"""Stories to be told aloud: long enough to be interrupted."""

from __future__ import annotations

__all__ = ["JOKES", "STORIES", "find_story"]

STORIES: dict[str, str] = {
    "The Lamp Keeper": (
        "This is the story of the lamp keeper. "
        "On a small island, far from any harbour, stood an old lighthouse, and in it lived a "
        "woman called Mara. "
        "Every evening she climbed two hundred and twelve steps and lit the lamp. "
        "Every morning she climbed them again and put it out. "
        "Nobody had ever thanked her, because nobody had ever seen her; the sailors knew only "
        "the light. "
        "One winter night a storm came up that was louder than any before it. "
        "The wind broke a window, and the lamp went dark. "
        "Mara lit it again, and the wind blew it out again, and so it went, seven times. "
        "Then she took off her red coat, held it before the broken window with both arms, and "
        "stood there until the sky turned grey. "
        "The lamp burned all night behind her back. "
        "In the spring a little boat came to the island, the first in nine years. "
        "A young man stepped out of it and asked who had been waving on that night in winter. "
        "Waving, said Mara, I was not waving, I was only tired, and my arms were shaking. "
        "Well, said the young man, forty of us steered by the shaking of a red coat, and we all "
        "came home. "
        "He had brought a new window, a cake, and forty letters. "
        "And the keeper sat down on the lowest step and read them, one by one, until it was time "
        "to light the lamp."
    ),
    "The Fox Who Counted": (
        "This is the story of the fox who counted. "
        "There was once a fox who could count, and he was so proud of it that he counted "
        "everything he met. "
        "He counted the geese on the pond, and there were eleven. "
        "He counted the stars until he fell asleep, and in the morning he was angry, for he had "
        "lost his place. "
        "One day he met an old hedgehog who was carrying apples home on her back. "
        "You have six apples, said the fox. "
        "Have I, said the hedgehog, and went on walking. "
        "Now you have five, said the fox, for one has fallen off. "
        "Then that one is yours, said the hedgehog. "
        "The fox was so surprised that he forgot to thank her. "
        "He walked behind her all day, and he carried what fell, and in the evening they came to "
        "a hole under a hedge where seven small hedgehogs were waiting. "
        "The fox counted them, and then he counted the apples, and his face grew long. "
        "It does not come out even, he said. "
        "It never does, said the hedgehog, that is what knives are for. "
        "So they cut the apples into pieces, and everybody ate, and nobody could have said how "
        "many pieces there had been. "
        "When the moon came up, the smallest of the hedgehogs asked the fox how many friends he "
        "had. "
        "The fox opened his mouth to count them. "
        "Then he closed it again, and smiled, and said: enough."
    ),
    "The Clock in the Square": (
        "This is the story of the clock in the square. "
        "In a town between two hills there was a clock that was always four minutes late. "
        "The whole town was late with it: the baker opened four minutes late, the school began "
        "four minutes late, and even the train waited at the station, out of politeness. "
        "Then a new mayor came, who wore two watches, and he sent for a clockmaker. "
        "The clockmaker was a girl of nineteen with a bag full of small brass wheels. "
        "She climbed the tower and stayed there for three days, and on the fourth day the clock "
        "was right. "
        "Now everything happened on time, and at first people were delighted. "
        "But soon they noticed that something was missing. "
        "In those four minutes the baker had talked to the postman. "
        "In those four minutes the children had played by the fountain, and two old men had "
        "finished their game of chess. "
        "So the town held a meeting, and it lasted until midnight. "
        "In the end even the mayor took off both of his watches and put up his hand. "
        "The next morning the girl climbed the tower once more. "
        "She bent one little tooth of one little wheel, and the clock lost four minutes, and the "
        "whole square began to laugh. "
        "If you ever go there, do not set your watch by that clock. "
        "Sit down by the fountain instead, and take your time."
    ),
}
"""Title and text; each takes about a minute and a quarter to tell."""

JOKES = (
    "I asked a packet for its life story. "
    "It said: I would love to tell you, but I might not arrive, and if I do, "
    "it may be in the wrong order.",
    "Why did the clock go to school? It wanted to be on time, and it was told off for ticking.",
    "A timer walks into a bakery. The baker asks what it would like. In a minute, says the timer.",
)

_TOPICS = {
    "The Lamp Keeper": {"lamp", "lighthouse", "light", "sea", "storm", "island", "keeper", "ship"},
    "The Fox Who Counted": {"fox", "animal", "animals", "hedgehog", "apple", "apples", "numbers"},
    "The Clock in the Square": {"clock", "time", "town", "mayor", "tower", "square", "watch"},
}


def find_story(topic: str) -> str | None:
    """Return the title of the story that ``topic`` names, or None."""
    words = set(topic.lower().split())
    return next((title for title, topics in _TOPICS.items() if words & topics), None)

"""OpenAI's models: context windows, prices, shutdown dates; token counts; what a call costs at worst.

Knows: facts about models. Must not know: callers, policy, the prefilter. Pure: the date comes in.
"""

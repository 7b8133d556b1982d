"""Parts that models are made of; they know no model.

Outside `models` only `training` may import from here: the declarations of tables, and the context of a step.
"""

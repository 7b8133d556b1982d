"""From a finished run to what is deployed: candidates, lists for every user, an exported model.

Only the pipeline and jobs may import it.
"""

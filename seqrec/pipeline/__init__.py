"""Everything around the stages: their table, the configuration, the command line, `spark-submit`, and the pipeline.
Only the scripts in `jobs` and `interface` import it; it may import every other package.
"""

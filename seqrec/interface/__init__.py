"""The functions of `import seqrec`: the stages of the jobs, called from Python, with their results as pandas frames.
They decide nothing themselves: settings, stages and files are those of the jobs.
"""

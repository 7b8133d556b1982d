"""The libraries that can read sequence files, behind one function each."""

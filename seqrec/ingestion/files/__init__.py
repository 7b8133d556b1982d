"""Raw files found on any storage, decompressed, cut into pieces and read as lines, whatever the lines mean.
The other folders of `ingestion` may import it."""

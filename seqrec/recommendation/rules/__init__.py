"""What a final list may hold: rules of the shop, applied after items have been scored, and what each of them costs."""

"""Several processes that train together: started, watched, and exchanging gradients. Only training imports it."""

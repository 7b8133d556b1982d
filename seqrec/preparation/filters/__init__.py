"""The reviews that become events: row filters, users' events in time order, item sample and k-core."""

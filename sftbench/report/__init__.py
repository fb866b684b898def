"""Tables made from records: aggregated once, rendered for terminals, pages and programs."""

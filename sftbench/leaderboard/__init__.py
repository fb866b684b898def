"""Results of many people in one place: submissions as data, and a static site. Without torch."""

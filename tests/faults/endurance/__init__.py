"""Load that lasts: more calls than there is room for, and half an hour of churn."""

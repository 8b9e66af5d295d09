"""What runs show: observations, comparisons with intervals, and the summary of each study."""

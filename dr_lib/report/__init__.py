"""The lab report: what the runs left behind, as findings, figures and tables in one HTML file."""

"""The lab report: what the runs left behind, said in sentences, figures and tables, as one HTML file."""

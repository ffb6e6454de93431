"""What is kept of calls: ADK's sessions, what was heard, the model's handle, recordings."""

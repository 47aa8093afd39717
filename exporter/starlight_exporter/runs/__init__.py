"""The long-running process: wiring, schedule, file watching, HTTP."""

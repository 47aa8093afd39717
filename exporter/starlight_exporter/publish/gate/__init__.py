"""Reports of one run of the gate: JUnit XML, markdown and a self-contained HTML page."""

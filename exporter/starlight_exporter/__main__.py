"""`python -m starlight_exporter` runs the exporter."""

from starlight_exporter.cli.service import main

raise SystemExit(main())

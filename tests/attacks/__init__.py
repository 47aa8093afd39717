"""Attacks on the running exporter: hostile files, kills, swaps, full disks, slow clients, clock steps, bad models.

Every attack starts the real service process, and judges it by its metrics, pages and stored files. The tests run a
bounded form; `python -m attacks --full`, run in the folder `tests`, runs the full counts and writes
`benchmarks/attacks.md`.
"""

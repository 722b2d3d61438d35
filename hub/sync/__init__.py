"""How data moves: reads of the ERPs, positions, inbox, outbox, quarantine and the near-real-time loop."""

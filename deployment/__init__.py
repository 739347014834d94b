"""The winner at work: nothing yet. Bundles, batch extraction and the service come with the exported program."""

"""Identity keys, transcripts, device chains, certificates; the only place that names PyNaCl."""

"""Our own systems (庁内の各システム), simulated: what each keeps and refuses, and the three ways by which it has its messages."""

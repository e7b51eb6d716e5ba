"""Business flows that span several messages: what belongs together, what is waited for, and until when."""

"""The intermediate server (中間サーバー), simulated: for now the one thing that other parts must be unable to undo, its encryption."""

"""What a compressed table cost: measured as rows stream by, judged by gates, told to people."""

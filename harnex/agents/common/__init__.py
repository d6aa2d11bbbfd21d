"""What several agents share: OSC 7501, reset times, headless ledgers, readers of logs and chats, text that is typed."""

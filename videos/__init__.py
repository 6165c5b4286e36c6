"""Looking: films of recorded episodes. Frames come from render states; nothing here needs torch or a display."""

"""Power flows a second beside other programs, their accuracy, and where their time goes."""

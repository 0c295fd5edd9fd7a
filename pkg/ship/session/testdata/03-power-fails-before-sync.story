source a=1 b=2 c=3
crash receiver before=sync
pass
  S says Hello
  R applies 1
  R applies 2
  R applies 3
  R applies 4
  S says Done, last 4, verify true
  R syncs through 4
  the session is over: the receiver died
  S says Hello
  R applies 1
  R applies 2
  R applies 3
  S says Done, last 3, verify true
  R syncs through 3
  R persists through 3
  R says Ack 3
  R does Judge
  R says Verdict
  S says Commit
  R does WriteVerification
  R says Committed, verified true
  S says Bye
  S ends
show
  a=1 b=2 c=3, verified

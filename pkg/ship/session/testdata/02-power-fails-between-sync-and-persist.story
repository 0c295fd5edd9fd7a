# What was not acknowledged may be lost; the next session finds out what is there.
source a=1 b=2 c=3
crash receiver after=sync
pass
  S says Hello
  R applies 1
  R applies 2
  R applies 3
  R applies 4
  S says Done, last 4, verify true
  R syncs through 4
  R persists through 4
  the session is over: the receiver died
  S says Hello
  R applies 1
  S says Done, last 1, verify true
  R syncs through 1
  R persists through 1
  R says Ack 1
  R does Judge
  R says Verdict
  S says Commit
  R does WriteVerification
  R says Committed, verified true
  S says Bye
  S ends
show
  a=1 b=2 c=3, verified

source a=1 b=2
pass
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
source a=3 b=4
precopy
  S says Hello
  R applies 1
  R applies 2
  R applies 3
  S says Done, last 3, verify false
  R syncs through 3
  R persists through 3
  R says Ack 3
  R says Committed, verified false
  S says Bye
  S ends
show
  a=1 b=2, verified
source b=5
pass
  S says Hello
  R applies 1
  R applies 2
  S says Done, last 2, verify true
  R syncs through 2
  R persists through 2
  R says Ack 2
  R does Judge
  R says Verdict
  S says Commit
  R does WriteCommit
  R does RollForward
  R does WriteVerification
  R says Committed, verified true
  S says Bye
  S ends
show
  a=3 b=5, verified

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
source a=3
crash receiver after=persist
drop conn before=survey a
source changes a=1 after=persist
pass
  S says Hello
  R applies 1
  S ends: it broke
  R ends: it broke
  the session is over: a connection broke
  S says Hello
  R applies 1
  R applies 2
  S says Done, last 2, verify true
  R syncs through 2
  R persists through 2
  R says Ack 2
  the session is over: the receiver died
  S says Hello
  R applies 1
  S says Done, last 1, verify true
  R syncs through 1
  R persists through 1
  R says Ack 1
  somebody writes a=1
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
  a=3 b=2, verified
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
  a=1 b=2, verified

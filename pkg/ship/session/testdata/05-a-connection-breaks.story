source a=1 b=2 c=3
drop conn after=frame 2
pass
  S says Hello
  R applies 1
  R applies 2
  S ends: it broke
  R ends: it broke
  the session is over: a connection broke
  S says Hello
  R applies 1
  R applies 2
  R applies 3
  R applies 4
  S says Done, last 4, verify true
  R syncs through 4
  R persists through 4
  R says Ack 4
  R does Judge
  R says Verdict
  S says Commit
  R does WriteVerification
  R says Committed, verified true
  S says Bye
  S ends
show
  a=1 b=2 c=3, verified
source a=4
drop conn before=judge
drop conn after=promote
pass
  S says Hello
  R applies 1
  R applies 2
  S says Done, last 2, verify true
  R syncs through 2
  R persists through 2
  R says Ack 2
  R does Judge
  S ends: it broke
  R ends: it broke
  the session is over: a connection broke
  S says Hello
  R applies 1
  S says Done, last 1, verify true
  R syncs through 1
  R persists through 1
  R says Ack 1
  R does Judge
  R says Verdict
  S says Commit
  R does WriteCommit
  R does RollForward
  R does WriteVerification
  R says Committed, verified true
  S says Bye
  S ends
pass
  S says Hello
  S says Done, last 0, verify true
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
  a=4 b=2 c=3, verified

# A first copy is written in place; an increment is staged and rolled forward.
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
show
  a=1 b=2, verified
source a=3 b= c=4
pass
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
  R does WriteCommit
  R does RollForward
  R does WriteVerification
  R says Committed, verified true
  S says Bye
  S ends
show
  a=3 c=4, verified
# Nothing changed: no frame, no commit record.
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

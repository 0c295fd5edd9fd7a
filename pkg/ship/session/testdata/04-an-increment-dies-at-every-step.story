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
source a=3 b= c=4
crash receiver after=apply
crash receiver after=persist
crash receiver after=judge
crash receiver before=commit
pass
  S says Hello
  R applies 1
  the session is over: the receiver died
  S says Hello
  R applies 1
  R applies 2
  R applies 3
  R applies 4
  S says Done, last 4, verify true
  R syncs through 4
  R persists through 4
  R says Ack 4
  the session is over: the receiver died
  S says Hello
  R applies 1
  S says Done, last 1, verify true
  R syncs through 1
  R persists through 1
  R says Ack 1
  R does Judge
  R says Verdict
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
  R does WriteCommit
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
  R does WriteCommit
  R does RollForward
  R does WriteVerification
  R says Committed, verified true
  S says Bye
  S ends
show
  a=3 c=4, verified
# From the commit record on the increment is carried out without the source.
source a=5 c=6 d=7
crash receiver after=commit
crash receiver after=roll a
crash receiver after=roll sync
crash receiver after=roll unstage
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
  the session is over: the receiver died
  R finishes what was committed
  S says Hello
  the session is over: the receiver died
  R finishes what was committed
  S says Hello
  the session is over: the receiver died
  R finishes what was committed
  S says Hello
  the session is over: the receiver died
  R finishes what was committed
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
  a=5 c=6 d=7, verified

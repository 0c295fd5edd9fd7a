# What moved under the reader is sent, and not promoted.
source a=1 b=2
source changes a=9 after=scan
pass
  S says Hello
  somebody writes a=9
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
  a=9 b=2, torn
pass
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
  a=9 b=2, verified

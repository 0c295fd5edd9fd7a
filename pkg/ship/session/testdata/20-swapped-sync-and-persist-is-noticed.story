# A receiver that journals first and syncs then believes in what a power failure took.
break swaps sync and persist
source a=1 b=2 c=3
crash receiver after=persist first
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
  VIOLATED: the base says a="1", on disk is "(lost)"

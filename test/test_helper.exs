# The host project is a part of its own of bin/test: it runs cargo.
# A message that must come may take its time on a busy machine.
ExUnit.start(assert_receive_timeout: 5000, exclude: [:host_project | Penstock.StockGenStage.excluded_tags()])

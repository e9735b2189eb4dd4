defmodule Penstock.NativeTimesTest do
  # Alone: the account is the library's, and others' calls are in it.
  use ExUnit.Case, async: false

  alias Penstock.Native

  test "each call is counted under its name, with the longest and how long all took" do
    :ok = Native.native_times_reset()
    for _ <- 1..10, do: {:ok, %{}} = Native.json_decode("{}")
    {:ok, [1]} = Native.json_decode_dirty("[1]")
    assert %{json_decode: ordinary, json_decode_dirty: dirty} = Native.native_times()
    assert %{count: 10, dirty: false, longest_ns: longest, histogram: histogram} = ordinary
    assert longest > 0
    assert Enum.sum(histogram) == 10
    assert %{count: 1, dirty: true} = dirty
    :ok = Native.native_times_reset()
    assert %{json_decode: %{count: 0, longest_ns: 0}} = Native.native_times()
  end

  test "calls that only count are in the account when they have come to something" do
    :ok = Native.native_times_reset()
    outlet = Native.stage_new(10, :first, {:demand, nil, nil, nil})
    for _ <- 1..1000, do: 0 = Native.stage_demand(outlet)
    assert %{stage_demand: %{count: count}} = Native.native_times()
    assert count in 900..1000
  end
end

defmodule Penstock.Player do
  @moduledoc false
  # Consumers in processes of their own, which do as the test says and pass on what they get.

  import ExUnit.Assertions

  alias Penstock.StageWire

  defstruct [:pid, :tag, :producer]

  @doc "Subscribes a process to a producer; it ends with the test."
  def player(producer, options \\ []) do
    {test, tag} = {self(), make_ref()}

    pid =
      spawn(fn ->
        monitor = Process.monitor(test)
        StageWire.subscribe(producer, tag, nil, options)
        send(test, {:subscribed, self()})
        play(test, producer, tag, monitor)
      end)

    # the order of subscriptions is that of the calls
    assert_receive {:subscribed, ^pid}, 5000
    %__MODULE__{pid: pid, tag: tag, producer: producer}
  end

  defp play(test, producer, tag, monitor) do
    receive do
      {:"$gen_consumer", {^producer, ^tag}, events} when is_list(events) -> send(test, {tag, :events, events})
      {:"$gen_consumer", {^producer, ^tag}, {:cancel, reason}} -> send(test, {tag, :cancelled, reason})
      {:ask, n} -> StageWire.ask(producer, tag, n)
      {:cancel, reason} -> StageWire.cancel(producer, tag, reason)
      {:settle, from} -> send(from, {tag, :settled})
      {:DOWN, ^monitor, :process, _test, _reason} -> exit(:normal)
    end

    play(test, producer, tag, monitor)
  end

  def ask(player, n), do: tell(player, {:ask, n})
  def cancel(player, reason), do: tell(player, {:cancel, reason})

  # On return it has told the producer.
  defp tell(player, what) do
    send(player.pid, what)
    pass(player)
  end

  defp pass(%{pid: pid, tag: tag}) do
    send(pid, {:settle, self()})
    assert_receive {^tag, :settled}, 10_000
  end

  @doc "Waits until what the test has told a player has reached the producer, and what that has sent has come back."
  def settle(player) do
    pass(player)
    StageWire.settle(player.producer)
    pass(player)
  end

  @doc "The revisions of the events that have come to a player, and were not received before."
  def received(player) do
    settle(player)
    taken(player)
  end

  @doc "The same of one that may be dead, without waiting."
  def taken(%{tag: tag} = player) do
    receive do
      {^tag, :events, events} -> Penstock.Store.revisions(events) ++ taken(player)
    after
      0 -> []
    end
  end

  @doc "Waits for so many events of a player; their revisions."
  def received(_player, 0), do: []

  def received(%{tag: tag} = player, count) do
    assert_receive {^tag, :events, events}, 10_000
    assert length(events) <= count
    Penstock.Store.revisions(events) ++ received(player, count - length(events))
  end

  @doc "Waits for the end of a player's subscription; its reason."
  def cancelled(%{tag: tag}) do
    assert_receive {^tag, :cancelled, reason}, 10_000
    reason
  end
end

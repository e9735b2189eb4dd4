defmodule Penstock.Soak.Answers do
  @moduledoc false
  # A server, or what stands before it, that answers wrongly: subscriptions, appends and reads live through it, or end
  # with a reason.

  import Penstock.Soak.Fault

  alias Penstock.EventStore
  alias Penstock.Soak.Answers.{Caller, Listener, WrongServer}
  alias Penstock.Soak.{Dice, Wait}

  @peace 60_000

  def run(seed, _folder) do
    Dice.take(seed, :answers)
    mood = Dice.pick([:road, :road, :nonsense, :liar])
    {:ok, server} = WrongServer.start_link(seed, mood)
    deadline = Dice.between(200, 1_000)
    uri = "esdb://127.0.0.1:#{WrongServer.port(server)}?tls=false&defaultDeadline=#{deadline}"

    listeners = for name <- 1..Dice.between(2, 6), do: Listener.start_link(name, uri, mood, seed)

    callers =
      for name <- 1..Dice.between(1, 4) do
        {:ok, store} = EventStore.start_link(connection_string: uri)
        Caller.start_link(name, server, store, mood, deadline, seed)
      end

    Process.sleep(Dice.between(500, 3_000))
    WrongServer.be_right(server)
    for caller <- callers, do: Wait.finish(caller, @peace, "a caller")
    ends = Enum.map(listeners, &await/1)
    {1, "#{mood}: #{Enum.count(ends, &(&1 == :caught_up))} of #{length(ends)} subscriptions live"}
  end

  defp await(listener) do
    receive do
      {^listener, :caught_up} -> :caught_up
      {^listener, {:stopped, error}} -> error.reason
    after
      @peace -> law(false, "a subscription is not at the end: #{brief(info(listener))}")
    end
  end

  defp info(listener) do
    send(listener, {:look, self()})

    receive do
      {^listener, info} -> info
    after
      5_000 -> :no_answer
    end
  end
end

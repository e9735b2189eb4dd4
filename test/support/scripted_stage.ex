defmodule Penstock.ScriptedStage do
  @moduledoc false
  # A stage that tells a test what it is called with and answers as the test has written: callbacks are
  # functions in a map. It is a stage of GenStage as well as of Penstock, whoever starts it.

  # `:library` among the start options says whose stage it is.
  def start(type, options \\ [], script \\ %{}, start_options \\ []) do
    {library, start_options} = Keyword.pop(start_options, :library, Penstock.Stage)
    library.start(__MODULE__, {type, options, Map.put(script, :test, self())}, start_options)
  end

  def init({type, options, script}), do: {type, script, options}

  def handle_demand(n, script), do: run(script, :handle_demand, [n], {:noreply, [], script})

  def handle_events(events, from, script),
    do: run(script, :handle_events, [events, from], {:noreply, [], script})

  def handle_subscribe(side, options, from, script),
    do: run(script, :handle_subscribe, [side, options, from], {:automatic, script})

  def handle_cancel(reason, from, script),
    do: run(script, :handle_cancel, [reason, from], {:noreply, [], script})

  def format_discarded(n, script), do: run(script, :format_discarded, [n], false)

  def handle_call({:emit, events}, _from, script), do: {:reply, :ok, events, script}

  def handle_call(request, from, script),
    do: run(script, :handle_call, [request, from], {:reply, :ok, [], script})

  def handle_cast({:emit, events}, script), do: {:noreply, events, script}
  def handle_cast(request, script), do: run(script, :handle_cast, [request], {:noreply, [], script})
  def handle_info({:emit, events}, script), do: {:noreply, events, script}
  def handle_info(message, script), do: run(script, :handle_info, [message], {:noreply, [], script})
  def terminate(reason, script), do: run(script, :terminate, [reason], :ok)

  # Tells the test, then answers with the script's function, which gets the arguments and the state.
  defp run(script, callback, arguments, default) do
    send(script.test, List.to_tuple([callback, self() | arguments]))

    case script do
      %{^callback => answer} when is_function(answer) -> apply(answer, arguments ++ [script])
      %{} -> default
    end
  end
end

defmodule Penstock.Stage.Sieve do
  @moduledoc false
  # Which events a subscription wants, as its options say: patterns, and functions of one event that the producer runs
  # and that must not be able to hurt it.

  alias Penstock.Native
  alias Penstock.Stage.Options

  @type t :: [step, ...]
  @typep step :: {:match, [field]} | (event :: term -> as_boolean(term))
  @typep field :: {:is, key :: term, value :: term} | {:in, key :: term, [field]}

  # From this many events on a pattern is matched natively, which costs about the same there as here, 30 ns an event.
  # For fewer the call costs more than it saves.
  @many 64

  @doc "The sieve of a subscription that takes these options; nil when it wants every event."
  @spec new(keyword, [:filter | :selector]) :: {:ok, t | nil} | {:error, message :: String.t()}
  def new(options, keys) do
    steps =
      Enum.reduce_while(keys, [], fn key, steps ->
        case wanted(key, Keyword.get(options, key)) do
          {:ok, more} -> {:cont, steps ++ more}
          {:error, _message} = error -> {:halt, error}
        end
      end)

    case steps do
      [] -> {:ok, nil}
      [_ | _] -> {:ok, steps}
      error -> error
    end
  end

  defp wanted(_key, nil), do: {:ok, []}
  defp wanted(_key, function) when is_function(function, 1), do: {:ok, [function]}
  defp wanted(:filter, {:match, pattern}) when is_map(pattern), do: {:ok, [{:match, fields(pattern)}]}

  defp wanted(:filter, other),
    do: Options.expected(:filter, "a function of one argument or {:match, map}", other)

  defp wanted(:selector, other), do: Options.expected(:selector, "a function of one argument", other)

  # Nested lists, made once, so that an event costs no more than its lookups.
  defp fields(pattern) do
    for {key, value} <- pattern do
      if is_map(value) and not is_struct(value), do: {:in, key, fields(value)}, else: {:is, key, value}
    end
  end

  defp matches?([], event), do: is_map(event)

  defp matches?([{:is, key, value} | fields], event) do
    case event do
      %{^key => ^value} -> matches?(fields, event)
      _ -> false
    end
  end

  defp matches?([{:in, key, nested} | fields], event) do
    case event do
      %{^key => inner} -> matches?(nested, inner) and matches?(fields, event)
      _ -> false
    end
  end

  @doc "The events that are wanted and how many are not; or how the function failed."
  @spec run(t, [term]) :: {wanted :: [term], unwanted :: non_neg_integer} | {:failed, Exception.t() | term}
  def run(sieve, events) do
    run(sieve, events, 0)
  rescue
    exception -> {:failed, exception}
  catch
    kind, value -> {:failed, {kind, value}}
  end

  defp run([], events, unwanted), do: {events, unwanted}

  defp run([step | steps], events, unwanted) do
    {wanted, more} = step(step, events)
    run(steps, wanted, unwanted + more)
  end

  defp step({:match, fields}, events) do
    if length(events) < @many,
      do: sift(events, &matches?(fields, &1), [], 0),
      else: fields |> Native.stage_sift(events) |> natively(fields)
  end

  defp step(function, events), do: sift(events, function, [], 0)

  # A call looks at so many events that it is soon over.
  defp natively({wanted, unwanted, []}, _fields), do: {wanted, unwanted}

  defp natively({wanted, unwanted, rest}, fields) do
    {later, more} = fields |> Native.stage_sift(rest) |> natively(fields)
    {wanted ++ later, unwanted + more}
  end

  defp sift([], _wanted?, wanted, unwanted), do: {:lists.reverse(wanted), unwanted}

  defp sift([event | events], wanted?, wanted, unwanted) do
    if wanted?.(event),
      do: sift(events, wanted?, [event | wanted], unwanted),
      else: sift(events, wanted?, wanted, unwanted + 1)
  end
end

defmodule Penstock.Stage.Sieve do
  @moduledoc false
  # Which events a subscription wants, as its options say: a function of one event that the producer runs, and
  # that must not be able to hurt it.

  alias Penstock.Stage.Options

  @type t :: (event :: term -> as_boolean(term))

  @doc "The sieve of a subscription that takes these options; nil when it wants every event."
  @spec new(keyword, [:filter | :selector]) :: {:ok, t | nil} | {:error, message :: String.t()}
  def new(options, keys) do
    Enum.reduce_while(keys, {:ok, nil}, fn key, {:ok, sieve} ->
      case wanted(key, Keyword.get(options, key)) do
        {:ok, more} -> {:cont, {:ok, both(sieve, more)}}
        {:error, _message} = error -> {:halt, error}
      end
    end)
  end

  defp wanted(_key, nil), do: {:ok, nil}
  defp wanted(_key, function) when is_function(function, 1), do: {:ok, function}
  defp wanted(:filter, {:match, pattern}) when is_map(pattern), do: {:ok, matcher(pattern)}

  defp wanted(:filter, other),
    do: Options.expected(:filter, "a function of one argument or {:match, map}", other)

  defp wanted(:selector, other), do: Options.expected(:selector, "a function of one argument", other)

  # Compiled to nested lists once, so that an event costs no more than its lookups.
  defp matcher(pattern) do
    fields = fields(pattern)
    &matches?(fields, &1)
  end

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

  defp both(nil, sieve), do: sieve
  defp both(sieve, nil), do: sieve
  defp both(first, second), do: &(first.(&1) && second.(&1))

  @doc "The events that are wanted and how many are not; or how the function failed."
  @spec run(t, [term]) :: {wanted :: [term], unwanted :: non_neg_integer} | {:failed, Exception.t() | term}
  def run(sieve, events) do
    sift(events, sieve, [], 0)
  rescue
    exception -> {:failed, exception}
  catch
    kind, value -> {:failed, {kind, value}}
  end

  defp sift([], _sieve, wanted, unwanted), do: {:lists.reverse(wanted), unwanted}

  defp sift([event | events], sieve, wanted, unwanted) do
    if sieve.(event),
      do: sift(events, sieve, [event | wanted], unwanted),
      else: sift(events, sieve, wanted, unwanted + 1)
  end
end

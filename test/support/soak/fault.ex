defmodule Penstock.Soak.Fault do
  @moduledoc false
  # A law that did not hold.

  defexception [:message]

  @doc "Ends the schedule unless the law holds; `what` was seen instead."
  defmacro law(holds, what) do
    quote do
      unless unquote(holds), do: raise(Penstock.Soak.Fault, message: unquote(what))
    end
  end

  @doc "A long value, cut: what is wrong with a list stands at its beginning or in the sentence around it."
  def brief(term), do: inspect(term, limit: 12, printable_limit: 300, charlists: :as_lists)
end

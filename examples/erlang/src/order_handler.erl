%% A consumer: it tells whoever started it the number of each order that it handles.
-module(order_handler).
-behaviour('Elixir.Penstock.Stage').
-export([init/1, handle_events/3]).

init({Producer, Teller}) ->
    {consumer, Teller, [{subscribe_to, [{Producer, [{max_demand, 10}]}]}]}.

handle_events(Events, _From, Teller) ->
    [Teller ! {handled, Number} || #{body := #{<<"number">> := Number}} <- Events],
    {noreply, [], Teller}.

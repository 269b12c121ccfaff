-- Where do shoppers of the web shop give up? One event counts for one step, within 7 days.

SELECT * FROM funnel(ecom, unit => user_id, ts => ts,
  steps => [event = 'catalog', event = 'product_view', event = 'add_to_cart', event = 'cart',
            event = 'shipping_details', event = 'payment_details', event = 'purchase'],
  labels => ['catalog', 'product_view', 'add_to_cart', 'cart', 'shipping_details', 'payment_details', 'purchase'],
  within => INTERVAL '7 days');
-- check step=0: people = 600, open = 0, lost = 0
-- check step=1: people = 600, open = 3, lost = 6
-- check step=2: people = 591, open = 25, lost = 156
-- check step=3: people = 410, open = 11, lost = 132
-- check step=4: people = 267, open = 10, lost = 112
-- check step=5: people = 145, open = 1, lost = 78
-- check step=6: people = 66, open = 5, lost = 37
-- check step=7: people = 24, open = 0, lost = 0

-- And the retailer's own channels: from a view to a paid order, by the channel of the view.

SELECT * FROM funnel((SELECT * FROM person_events WHERE person_id IS NOT NULL), unit => person_id, ts => ts,
  steps => [event = 'view', event = 'add_to_cart', event = 'checkout', event = 'purchase'],
  labels => ['view', 'cart', 'checkout', 'purchase'], within => INTERVAL '7 days', by => channel);

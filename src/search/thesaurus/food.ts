// Food, drink, cooking, eating out.
export const FOOD: string = `
# meals and eating
eat dine consume feed devour have | meal > breakfast lunch dinner supper brunch snack buffet picnic | dish > pasta pizza soup curry salad stew risotto lasagne paella casserole roast burger dumpling pie omelette noodles ramen sushi tart quiche goulash chili tagine falafel pancake
breakfast morning | lunch midday noon | dinner supper evening | snack bite nibble | hungry hunger starving appetite | thirsty thirst | taste flavour flavor savour | delicious tasty yummy good | portion serving helping plate
vegetarian meatless veggie vegan meat | vegan plant vegetarian dairy | kosher halal | diet fasting fast | leftover leftovers remains rest | feast banquet spread | picnic hamper outdoors | starter appetiser | main course | side
dessert sweet pudding afters > cake pie tart pudding tiramisu brownie cheesecake mousse sorbet icecream crumble trifle meringue custard strudel
# cooking
cook prepare make chef cooking | chef cook kitchen | boil simmer poach cook | fry roast grill bake saute sear toast | bake baking oven dough | recipe ingredients instructions | ingredient > flour sugar butter egg milk salt yeast oil cream
chop cut slice dice peel mince | stir mix blend whisk beat combine | knead dough | season seasoning spice salt pepper | marinate marinade soak | melt dissolve | ferment fermented sourdough yeast starter | preserve pickle jam can bottle
burn burnt scorch char | raw uncooked rare | overcooked tough dry | tender soft juicy | crispy crunchy crisp | ripe mature | fresh new | stale old mouldy | frozen deep | thaw defrost | pan pot saucepan frying wok casserole | knife board
spoon ladle spatula | bowl dish plate | cup mug glass | fork cutlery tableware | tin mould tray | scale scales weigh grams | oven temperature degrees preheat | timer minutes | barbecue grill bbq charcoal | lid cover | sieve strainer colander | grater
# ingredients
meat > beef pork lamb chicken turkey veal ham bacon sausage mince steak duck venison salami liver | poultry chicken turkey duck goose | fish seafood > salmon trout tuna cod herring mackerel sardine carp haddock anchovy
shellfish seafood > mussel oyster shrimp prawn crab lobster clam scallop squid | dairy > milk butter cheese cream yoghurt yogurt quark curd | cheese > cheddar brie gouda feta parmesan mozzarella camembert goat ricotta
vegetable veg greens > tomato carrot potato onion spinach courgette zucchini aubergine eggplant pepper cucumber cabbage lettuce broccoli cauliflower leek pea bean garlic beetroot celery pumpkin squash radish asparagus kale fennel sweetcorn artichoke turnip parsnip
fruit > apple banana orange lemon lime strawberry raspberry mango pear plum cherry peach apricot grape pineapple kiwi melon blueberry blackberry fig quince grapefruit currant gooseberry pomegranate coconut date
berry berries > strawberry raspberry blueberry blackberry currant gooseberry cranberry elderberry | nut nuts > cashew peanut almond walnut hazelnut pistachio pecan macadamia chestnut
spice seasoning > pepper cumin cinnamon ginger chilli saffron turmeric paprika nutmeg clove cardamom coriander vanilla | herb herbs > basil parsley thyme mint rosemary sage dill oregano chives coriander tarragon
grain cereal > wheat rye barley oat rice corn maize millet spelt quinoa buckwheat | pulse legume > lentil bean pea chickpea | bread loaf > rye baguette toast sourdough roll bun bagel ciabatta pita pretzel wholemeal
flour wheat gluten | sugar honey syrup sweetener sweet | fat butter margarine oil lard | sauce gravy dressing ketchup mayonnaise pesto | noodle pasta spaghetti macaroni | potato chips fries mash | mushroom champignon porcini chanterelle fungus
egg yolk omelette scrambled | chocolate cocoa sweets candy | biscuit cookie cracker | cake gateau sponge pastry | icecream gelato sorbet | jam marmalade jelly | salt salty | sour bitter acid tart | spicy hot peppery fiery | vinegar | mustard
# drink
drink beverage > coffee tea wine beer juice water cocktail whisky lemonade cola milk cocoa cider gin rum vodka champagne smoothie soda espresso cappuccino latte
coffee espresso cappuccino latte caffeine beans brew | tea brew infusion chai herbal | wine > burgundy bordeaux riesling merlot rioja chianti pinot chardonnay red white rose prosecco | beer > lager ale stout pilsner wheat ipa brewery | alcohol alcoholic spirits liquor booze > wine beer gin rum whisky vodka brandy liqueur schnapps
juice squash lemonade | bottle flask carafe | glass cup mug | cork corkscrew | pour serve | sip gulp swallow | drunk tipsy hangover | sober abstain | water sparkling still mineral tap | soft drink soda pop cola | toast cheers
brew brewery brewing | cellar vintage | milk oat almond soy cow
# eating out
restaurant diner eatery bistro trattoria brasserie canteen pizzeria tavern > pizzeria bistro trattoria steakhouse sushi thai indian italian mexican chinese greek | cafe coffee tearoom | bar pub tavern inn | waiter waitress server staff | menu card | order ask
reserve reservation book booking table | bill check tab pay | tip gratuity | takeaway takeout delivery | cuisine kitchen cooking > italian french indian thai chinese japanese mexican greek turkish vietnamese korean lebanese
canteen cafeteria mess | caterer catering cater | buffet | chef cook | guests seats people table | bakery baker | butcher | grocer grocery greengrocer | supermarket groceries food shopping
kitchen gadget
`;
